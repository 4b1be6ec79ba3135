// Says "ready", waits until the server went and came back, and goes on by itself.
import { Customer, tell } from "./people.mjs";

await tell(async ({ url, key, transports }) => {
  const first = new Customer(url, key, null, { transports });
  await first.connected();
  const { token } = await first.hears("conversation_opened");
  const { message } = await first.do("post_message", { client_id: "c1", text: "hello" });
  const tab = new Customer(url, key, token, { transports });
  await tab.connected();
  const left = new Promise((resolve) => tab.socket.once("disconnect", resolve));
  console.log("ready");
  const reason = await left;
  await new Promise((resolve) => tab.socket.once("connect", resolve));
  const later = (await tab.do("post_message", { client_id: "c2", text: "still me" })).message;
  return { reason, same: later.conversation_id === message.conversation_id };
});
