/** The first element of the page's `<template id=...>`, copied; markup lives in the templates alone. */
export function clone(id) {
  return document.getElementById(id).content.firstElementChild.cloneNode(true);
}

/** Sets a text only when it differs, so that a selection in an unchanged line survives a render. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
