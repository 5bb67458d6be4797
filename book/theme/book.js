// What scrolls sideways must be reachable by keyboard: wide tables, formulae, code and drawings become stops of the Tab key while they are too wide, and only then.
(() => {
  const WIDE = [".pst-scrollable-table-container", ".bd-article mjx-container[display='true']", ".bd-article pre", ".bd-article figure.dip-drawing"].join();
  const SMALLEST = 0.74; // of a formula's size: what is still too wide then slides
  const fit = (formula) => {
    const own = parseFloat((formula.dataset.size ||= formula.style.fontSize || "100%")); // MathJax fits it to the text's letters
    formula.style.fontSize = `${own}%`;
    const share = formula.clientWidth / formula.scrollWidth;
    if (share < 1 && share > 0) formula.style.fontSize = `${own * Math.max(SMALLEST, share * 0.98)}%`;
  };
  // What slides says at which edge more of it lies: a table below its caption, a drawing above its own, code as it is.
  const edges = (box) => {
    const slides = (box.checkVisibility?.() ?? true) && box.scrollWidth > box.clientWidth + 1; // what is folded has a width too
    box.classList.toggle("dip-slides", slides);
    box.classList.toggle("dip-more-left", slides && box.tagName !== "DIV" && box.scrollLeft > 1);
    box.classList.toggle("dip-more-right", slides && box.scrollLeft + box.clientWidth < box.scrollWidth - 1);
    const [above, image] = [box.querySelector("caption"), box.querySelector(":scope > img")];
    if (above) box.style.setProperty("--top", `${above.offsetHeight}px`);
    if (above) box.style.setProperty("--high", `calc(100% - ${above.offsetHeight}px)`);
    if (image) box.style.setProperty("--high", `${image.offsetHeight}px`);
    if (!box.dataset.watched) box.addEventListener("scroll", () => edges(box), { passive: true });
    box.dataset.watched = "yes";
  };
  const PROSE = 22; // letters: a cell of more is read, not looked up
  const prepare = () => {
    for (const cell of document.querySelectorAll(".pst-scrollable-table-container :is(th, td)"))
      cell.classList.toggle("dip-prose", cell.textContent.trim().length > PROSE);
    for (const image of document.querySelectorAll("figure.dip-drawing > img")) // so that its smallest words stay legible
      if (image.naturalWidth) image.style.setProperty("--dip-natural", image.naturalWidth);
  };
  const mark = () => {
    prepare();
    document.querySelectorAll(".bd-article mjx-container[display='true']").forEach(fit);
    for (const box of document.querySelectorAll(WIDE)) {
      if (box.scrollWidth > box.clientWidth + 1) {
        box.tabIndex = 0;
        if (!box.hasAttribute("role") && box.tagName === "DIV") {
          box.setAttribute("role", "region");
          box.setAttribute("aria-label", "Table, wider than the page");
        }
      } else box.removeAttribute("tabindex");
      if (box.matches(".pst-scrollable-table-container, figure, pre")) edges(box);
    }
  };
  addEventListener("load", () => {
    mark();
    window.MathJax?.startup?.promise?.then(mark);
  });
  document.addEventListener("toggle", mark, true); // what was folded is measured when it opens
  addEventListener("resize", mark);

  // Paper is white, and on it the solutions are open; afterwards all is as it was.
  const root = document.documentElement;
  let opened = [], theme = null;
  addEventListener("beforeprint", () => {
    if (theme !== null) return; // some browsers say it twice
    [theme, root.dataset.theme] = [root.dataset.theme, "light"];
    opened = [...document.querySelectorAll("details.solution:not([open]), .tag_solution details:not([open])")];
    for (const details of opened) details.open = true;
  });
  addEventListener("afterprint", () => {
    if (theme === null) return;
    [root.dataset.theme, theme] = [theme, null];
    for (const details of opened) details.open = false;
  });

  // Sphinx's search looks words up in plain objects, which know "constructor" without having it: it would never end.
  // And from a disk no page may be fetched, of which it shows a line or two.
  document.addEventListener("DOMContentLoaded", () => {
    if (typeof DOCUMENTATION_OPTIONS !== "undefined" && location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
    if (typeof Search === "undefined") return;
    const { hasOwnProperty } = Object.prototype;
    const bare = ({ terms, titleterms }) => {
      for (const table of [terms, titleterms]) if (table) Object.setPrototypeOf(table, Object.create(null, { hasOwnProperty: { value: hasOwnProperty } }));
    };
    const set = Search.setIndex;
    Search.setIndex = (index) => { bare(index); set(index); };
    if (Search._index) bare(Search._index);
  });

  // A search's words are marked without a change of the page: Sphinx would put elements into figures and scripts, and give up
  // at a letter that some script has a thousand times.
  if (window.CSS?.highlights && typeof SphinxHighlight !== "undefined") {
    SphinxHighlight.hideSearchWords = () => CSS.highlights.delete("dip-found");
    SphinxHighlight.highlightSearchWords = () => {
      const url = new URL(location.href);
      let asked = url.searchParams.get("highlight");
      try {
        asked = localStorage.getItem("sphinx_highlight_terms") ?? asked;
        localStorage.removeItem("sphinx_highlight_terms");
      } catch { /* a browser without storage */ }
      if (url.searchParams.has("highlight")) {
        url.searchParams.delete("highlight");
        history.replaceState(history.state, "", url);
      }
      const words = (asked ?? "").toLowerCase().split(/\s+/).filter(Boolean);
      const found = new Highlight();
      const texts = document.createTreeWalker(document.querySelector(".bd-article") ?? document.body, NodeFilter.SHOW_TEXT);
      while (words.length && texts.nextNode()) {
        const node = texts.currentNode, text = node.data.toLowerCase();
        if (text.length !== node.data.length || node.parentElement.closest("script, style, noscript, .math, .dip-view")) continue;
        for (const word of words)
          for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + word.length))
            found.add(new StaticRange({ startContainer: node, startOffset: at, endContainer: node, endOffset: at + word.length }));
      }
      if (found.size) CSS.highlights.set("dip-found", found);
    };
  }
})();
