// Follows a partner's feed and prints each event, from where it was stopped the last time.
//
// CHARGEKEY_URL=https://charge.example CLIENT_ID=... CLIENT_SECRET=... node feed_client.mjs cursor
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";

const { CHARGEKEY_URL: url, CLIENT_ID: client_id, CLIENT_SECRET: client_secret } = process.env;
const form = { grant_type: "client_credentials", client_id, client_secret };
const cursor = process.argv[2];

async function asked(path, options) {
  const answer = await fetch(url + path, options);
  if (!answer.ok) throw Object.assign(new Error(await answer.text()), { status: answer.status });
  return answer;
}

for (;;) {
  try {
    // Good for minutes; the stream ends with it.
    const token = await asked("/v1/token", { method: "POST", body: new URLSearchParams(form) });
    const headers = { Authorization: `Bearer ${(await token.json()).access_token}` };
    if (existsSync(cursor)) headers["Last-Event-ID"] = readFileSync(cursor, "utf8");
    const { body } = await asked("/v1/events/stream", { headers });
    let rest = "";
    for await (const text of body.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split("\n");
      rest = lines.pop();
      for (const line of lines.filter((each) => each.startsWith("data: "))) {
        const event = JSON.parse(line.slice("data: ".length));
        console.log(event.sequence, event.type, JSON.stringify(event.data));
        // Once it is dealt with, and not before; whole, whenever we are stopped.
        writeFileSync(`${cursor}.new`, event.sequence);
        renameSync(`${cursor}.new`, cursor);
      }
    }
  } catch (error) {
    if (error.status < 500 && error.status !== 429) throw error;
    await new Promise((resolve) => setTimeout(resolve, 1000)); // the connection was lost
  }
}
