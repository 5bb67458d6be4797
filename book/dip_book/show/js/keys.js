// A notebook's commands are letters, too: typed at a list of a figure, "d d" would delete the cell with what is in it.
const ownKeys = (el) => el.addEventListener("keydown", (event) => { if (!event.ctrlKey && !event.metaKey && !event.altKey) event.stopPropagation(); });

