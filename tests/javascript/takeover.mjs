// A customer asks, an agent reads along, takes over, answers and closes.
import { Agent, Customer, tell } from "./people.mjs";

await tell(async ({ url, key, cookie, assistant_id, transports }) => {
  const agent = new Agent(url, cookie, { transports });
  await agent.connected();
  await agent.do("watch", { assistant_id });
  const customer = new Customer(url, key, null, { transports });
  await customer.connected();
  const { token, widget, conversation } = await customer.hears("conversation_opened");
  const asked = (await customer.do("post_message", { client_id: "c1", text: "How long does delivery take? \u{1F6B2}" })).message;
  const again = (await customer.do("post_message", { client_id: "c1", text: asked.text })).message;
  const conversation_id = (await agent.hears("conversation_opened")).conversation_id;
  await customer.hears("draft_changed");
  const taken = (await agent.do("take_over", { conversation_id })).conversation;
  await agent.do("post_message", { conversation_id, client_id: "a1", text: "I am **here**" });
  const heard = (await customer.hears("message_posted", ({ message }) => message.text === "I am **here**")).message;
  const second = new Customer(url, key, token, { transports });
  await second.connected();
  await second.hears("conversation_opened", ({ conversation }) => conversation?.id === conversation_id);
  const { messages, status } = await second.do("catch_up", { after: 0 });
  await agent.do("close_conversation", { conversation_id, outcome_id: null, note: "" });
  await second.hears("conversation_closed");
  const tooLate = await agent.ask("post_message", { conversation_id, client_id: "a2", text: "late" });
  return {
    opened: conversation, assistant: widget.assistant.name, same: JSON.stringify(asked) === JSON.stringify(again), text: asked.text,
    owner: taken.owner.name, heard, numbers: messages.map(({ number }) => number), status, late: tooLate.error.code,
  };
});
