// A marker that has no partner yet is taken as opened, so that its stars don't flash up while the rest is on its way.
const INLINE = /(`+)([^`]*)(?:\1|$)|(\*\*)(.+?)(?:\*\*|\*?$)|(\*)(?=\S)(.+?)(?:\*|$)|\[([^\]]*)(?:\]\([^)]*\)?|\]?$)|\*+$/gs;
const ITEM = /^\s*(?:[-*+]|(\d+)[.)])(?:\s+|$)/;
const HEADING = /^#{1,6}\s+/;
const DEEPEST = 3;

/**
 * A light rendering of a draft, made of text nodes only. The stored message brings the server's own HTML; this one only
 * keeps the swap from being a jump, so it knows paragraphs, lists, code and emphasis and nothing that can be clicked.
 */
export function draftText(text) {
  const fragment = document.createDocumentFragment();
  let block = null;
  let isCode = false;
  for (const line of text.split("\n")) {
    if (line.startsWith("```")) {
      isCode = !isCode;
      block = isCode ? append(fragment, "pre") : null;
    } else if (isCode) block.append(block.textContent ? "\n" : "", line);
    else if (!line.trim()) block = null;
    else block = addLine(fragment, block, line);
  }
  return fragment;
}

function addLine(fragment, block, line) {
  const item = ITEM.exec(line);
  if (item) return addItem(fragment, block, item, line);
  if (HEADING.test(line)) {
    addInline(append(append(fragment, "p"), "strong"), line.replace(HEADING, ""));
    return null;
  }
  const isContinued = block?.localName === "p";
  const paragraph = isContinued ? block : append(fragment, "p");
  if (isContinued) append(paragraph, "br");
  addInline(paragraph, line);
  return paragraph;
}

function addItem(fragment, block, [marker, number], line) {
  const kind = number ? "ol" : "ul";
  const list = block?.localName === kind ? block : append(fragment, kind);
  addInline(append(list, "li"), line.slice(marker.length));
  return list;
}

function addInline(parent, text, depth = 0) {
  let from = 0;
  for (const match of depth < DEEPEST ? text.matchAll(INLINE) : []) {
    const [whole, , code, , strong, , em, label] = match;
    parent.append(text.slice(from, match.index));
    from = match.index + whole.length;
    if (code !== undefined) append(parent, "code").textContent = code;
    else if (strong !== undefined) addInline(append(parent, "strong"), strong, depth + 1);
    else if (em !== undefined) addInline(append(parent, "em"), em, depth + 1);
    else if (label !== undefined) parent.append(label);
  }
  parent.append(text.slice(from));
}

function append(parent, name) {
  return parent.appendChild(document.createElement(name));
}
