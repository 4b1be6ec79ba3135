const NAME = "Console – Handoff";

/** Says in the page's title and icon how many conversations need a human, for whoever looks at the tab's ear alone. */
export function showNeed(count) {
  const title = count ? `(${count}) ${NAME}` : NAME;
  if (document.title === title) return;
  document.title = title;
  const link = document.querySelector("link[rel=icon]");
  link.dataset.plain ??= link.getAttribute("href");
  link.setAttribute("href", count ? drawn(count) : link.dataset.plain);
}

/** The icon itself, covered by the number: at 16 pixels there is no room for both. */
function drawn(count) {
  const number = count > 99 ? "99" : String(count);
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="8" fill="#ab231b"/><text x="16" y="24" font-family="sans-serif" font-size="${number.length > 1 ? 21 : 24}" font-weight="700" text-anchor="middle" fill="#fff">${number}</text></svg>`;
  return `data:image/svg+xml,${encodeURIComponent(svg)}`;
}
