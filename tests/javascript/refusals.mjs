// Refused connections carry a code and are not tried again by the client.
import { Agent, Customer, tell } from "./people.mjs";

async function refusal(person) {
  const error = await person.connected().then(() => null, (reason) => reason);
  return { code: error?.data?.code, words: Boolean(error?.message), active: person.socket.active };
}

await tell(async ({ url, key }) => ({
  unknown_widget: await refusal(new Customer(url, "no such key")),
  bad_token: await refusal(new Customer(url, key, "made up")),
  signed_out: await refusal(new Agent(url, "handoff_session=made-up")),
}));
