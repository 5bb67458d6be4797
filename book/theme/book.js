// What scrolls sideways must be reachable by keyboard: wide tables, formulae and drawings become stops of the Tab key while they are too wide.
(() => {
  const mark = () => {
    for (const box of document.querySelectorAll(".pst-scrollable-table-container, .bd-article mjx-container[display='true'], .bd-article figure.dip-drawing")) {
      if (box.scrollWidth > box.clientWidth + 1) {
        box.tabIndex = 0;
        if (!box.hasAttribute("role") && box.tagName === "DIV") {
          box.setAttribute("role", "region");
          box.setAttribute("aria-label", "Table, wider than the page");
        }
      } else box.removeAttribute("tabindex");
    }
  };
  addEventListener("load", () => {
    mark();
    window.MathJax?.startup?.promise?.then(mark);
  });
  document.addEventListener("toggle", mark, true); // what was folded is measured when it opens
  addEventListener("resize", mark);
})();
