// The launcher. Its shadow root and constructed sheet keep the host's styles and style-src out.
(() => {
  const script = document.currentScript;
  const key = script?.dataset.widget;
  if (!key || window.Handoff) return;
  const { origin } = new URL(script.src);
  const memory = `handoff:${key}:open`;
  let frame, isOpen = false, isUp = false, unread = 0, text = script.dataset.label ?? "";

  const host = document.createElement("handoff-launcher");
  const root = host.attachShadow({ mode: "open" });
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(`:host{all:initial;color-scheme:light dark}
button,iframe{position:fixed;z-index:2147483000;border:0;right:20px}
button{bottom:max(20px,env(safe-area-inset-bottom));height:56px;padding:0 15px;border-radius:28px;display:flex;align-items:center;gap:8px;font:600 16px system-ui;cursor:pointer;
background:#24292f;color:#fff;box-shadow:0 4px 40px #0004}
button:focus-visible{outline:3px solid #fff;box-shadow:0 0 0 6px #000}
svg{width:26px;fill:none;stroke:currentColor;stroke-width:2;stroke-linecap:round;stroke-linejoin:round}
b{position:absolute;top:-4px;right:-4px;min-width:10px;padding:0 6px;border-radius:11px;font:600 12px/22px system-ui;background:#c81e1e;color:#fff}
button>:empty{display:none}
iframe{bottom:88px;width:380px;height:min(620px,100dvh - 112px);border-radius:16px;background:Canvas;box-shadow:0 0 0 1px #8884,0 4px 40px #0004}
iframe:not(.open){visibility:hidden}
@media(max-width:479px){iframe{inset:0;width:100%;height:100dvh;border-radius:0}.up~button{visibility:hidden}}
@media print{:host{display:none}}`);
  root.adoptedStyleSheets = [sheet];

  const button = root.appendChild(document.createElement("button"));
  const svg = button.appendChild(document.createElementNS("http://www.w3.org/2000/svg", "svg"));
  const path = svg.appendChild(document.createElementNS(svg.namespaceURI, "path"));
  const label = button.appendChild(document.createElement("span"));
  const badge = button.appendChild(document.createElement("b"));
  svg.setAttribute("viewBox", "0 0 24 24");
  button.onclick = () => (isOpen ? close() : open());
  root.addEventListener("keydown", (event) => event.key === "Escape" && close());

  // Black wherever white would fall under 4.5:1.
  function paint(color) {
    if (!/^#[\da-f]{6}$/i.test(color)) return;
    const [r, g, b] = color.match(/\w\w/g).map((pair) => (parseInt(pair, 16) / 255) ** 2.2);
    button.style.background = color;
    button.style.color = 0.21 * r + 0.72 * g + 0.07 * b > 0.18 ? "#000" : "#fff";
  }

  function show() {
    button.ariaExpanded = isOpen;
    label.textContent = isOpen ? "" : text;
    button.ariaLabel = isOpen ? "Close chat" : (label.textContent || "Open chat") + (unread ? `, ${unread} unread` : "");
    badge.textContent = isOpen || !unread ? "" : unread > 9 ? "9+" : unread;
    path.setAttribute("d", isOpen ? "M6 9l6 6 6-6" : "M21 11.5a8.5 8 0 0 1-12.3 7.2L3 20.5l1.9-4.8A8.5 8 0 1 1 21 11.5z");
    if (frame) frame.className = isOpen ? (isUp ? "open up" : "open") : "";
  }

  function tell(focus) {
    frame.contentWindow?.postMessage({ handoff: isOpen ? "opened" : "closed", focus }, origin);
  }

  function load(focus) {
    frame?.remove();
    frame = document.createElement("iframe");
    frame.title = "Chat";
    frame.referrerPolicy = "origin";
    frame.src = `${origin}/widget/${key}`;
    frame.onload = () => tell(focus);
    root.prepend(frame);
  }

  function become(open, focus) {
    isOpen = open;
    try { sessionStorage[memory] = +open; } catch {}
    // A frame that never spoke has failed: opening tries again.
    isUp || (frame && !open) ? tell(focus) : load(focus);
    show();
  }

  function open() {
    if (!isOpen) become(true, true);
    frame.focus();
  }

  function close() {
    if (!isOpen) return;
    become(false);
    button.focus();
  }

  addEventListener("message", ({ data, origin: from, source }) => {
    if (from !== origin || source !== frame?.contentWindow) return;
    if (data.handoff === "close") close();
    if (data.handoff === "look") paint(data.color), (isUp = true);
    if (data.handoff === "unread") unread = data.count;
    show();
  });

  function start() {
    document.body.append(host);
    let was;
    try { was = sessionStorage[memory]; } catch {}
    // A chat begun in this tab goes on.
    if (was) become(was === "1");
  }

  // What the script tag says goes before the widget's settings.
  function look({ color, launcher }) {
    paint(script.dataset.color ?? color);
    text = script.dataset.label ?? launcher;
    show();
  }

  // A script like this one: the site's policy allows it already. Without it the launcher looks as it does by itself.
  const settings = document.createElement("script");
  settings.src = `${origin}/launcher/${key}`;
  settings.nonce = script.nonce;
  settings.referrerPolicy = "origin";
  settings.onload = settings.onerror = () => (document.body ? start() : addEventListener("DOMContentLoaded", start));

  window.Handoff = { open, close, look };
  paint(script.dataset.color);
  show();
  document.head.append(settings);
})();
