/** Where we are, in the fragment: #/assistant/conversation. A reload comes back here; Back leads to the list. */
export function currentRoute() {
  const [assistantId, conversationId] = location.hash.startsWith("#/") ? location.hash.slice(2).split("/").map(decode) : [];
  return { assistantId: assistantId || null, conversationId: conversationId || null };
}

/** From the list to a conversation is a step that Back undoes; from one conversation to the next is not. */
export function goTo(assistantId, conversationId) {
  const before = currentRoute();
  const hash = "#/" + [assistantId, conversationId].filter(Boolean).map(encodeURIComponent).join("/");
  if (hash === location.hash) return;
  const isStep = conversationId && !before.conversationId && before.assistantId === assistantId;
  if (isStep) history.pushState({ fromList: true }, "", hash);
  else history.replaceState(conversationId ? history.state : null, "", hash);
}

/** Back to the list: through the history when we came from there, so that Back and Forward stay true. */
export function leaveConversation(assistantId) {
  if (history.state?.fromList) return history.back();
  goTo(assistantId, null);
  dispatchEvent(new PopStateEvent("popstate"));
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return "";
  }
}
