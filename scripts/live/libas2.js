// An AS2 server and sender made with libas2. It obeys lines of JSON on stdin, and answers each with one on stdout.
//
//   node libas2.js FOLDER-OF-LIBAS2
//
// The first line has the certificates, the keys and the document, and is answered with the origin of the server's URLs.
// The other lines have layers as {"sign", "encrypt"}, and receipts as {"signed", "later"} or null:
//   {"expect": {"layers", "receipt"}}                 such a message will arrive
//   {"take": true}                                    answer with the document that arrived, in base64
//   {"send": {"layers", "receipt", "id", "address"}}  send a message to the daemon, and read its MDN
// An answer with "error" says what failed.

"use strict";

const http = require("http");
const path = require("path");
const readline = require("readline");

const { AS2Composer, AS2Parser, request } = require(path.join(process.argv[2], "node_modules", "libas2"));

let settings; // of the first line
let expected; // {layers, receipt} of the message that will arrive
let arrived = null; // {document} or {error}
let mdnArrived = () => {};

function agreement({ sign, encrypt }, mdn) {
  return {
    host: {
      name: "ACME", id: "ACME", url: `${settings.origin}/mdn`,
      certificate: settings.certificate, privateKey: settings.key, decrypt: encrypt, sign: sign && "sha-256", mdn,
    },
    partner: {
      name: "EXAMPLE", id: "EXAMPLE", url: "https://as2.example.com/as2",
      certificate: settings.theirs, encrypt: encrypt && "aes256-CBC", verify: sign,
    },
  };
}

// The header and the body in one buffer: given apart, libas2 reads the body as UTF-8, which binary CMS is not.
function raw(fields, body) {
  let header = "";
  for (let at = 0; at < fields.length; at += 2) header += `${fields[at]}: ${fields[at + 1]}\r\n`;
  return Buffer.concat([Buffer.from(`${header}\r\n`, "latin1"), body]);
}

async function disposition(node) {
  const read = await node.dispositionIn({ cert: settings.theirs });
  const said = read.notification && read.notification.disposition;
  if (!said) throw new Error("the answer is not an MDN");
  if (!said.processed || said.description) throw new Error(`the MDN says ${JSON.stringify(said)}`);
}

async function send({ layers, receipt, id, address }) {
  const mdn = receipt ? { async: receipt.later, signing: "sha-256" } : undefined;
  const composer = new AS2Composer({
    message: { filename: "order.edi", contentType: "application/edifact", content: settings.document },
    agreement: agreement(layers, mdn),
    additionalHeaders: { "Message-ID": id },
  });
  const posted = new Promise((resolve) => { mdnArrived = resolve; });
  const options = await composer.toRequestOptions(`https://as2.example.com:${address[1]}/as2`);
  const lookup = (_, how, found) =>
    how.all ? found(null, [{ address: address[0], family: 4 }]) : found(null, address[0], 4);
  const answer = await request({ ...options, ...settings.tls, lookup });
  if (answer.statusCode !== 200) throw new Error(`the answer has the status ${answer.statusCode}`);
  if (!receipt) return {};
  const parts = receipt.later ? await posted : raw(answer.rawHeaders, answer.rawBody);
  await disposition(await AS2Parser.parse(parts));
  return {};
}

async function take(message, headers) {
  const node = await AS2Parser.parse(message);
  const agreed = agreement(expected.layers);
  agreed.partner.mdn = { signing: Boolean(expected.receipt && expected.receipt.signed) && "sha-256" };
  const { contentNode, dispositionNode, disposition: mdn } = await node.dispositionOut({ agreement: agreed });
  const said = mdn.notification.disposition;
  arrived = said.processed
    ? { document: Buffer.from(contentNode.content).toString("base64") }
    : { error: JSON.stringify(said) };
  return headers["disposition-notification-to"] ? await dispositionNode.buildObject() : { headers: {}, body: "" };
}

async function serve(incoming, outgoing) {
  const pieces = [];
  for await (const piece of incoming) pieces.push(piece);
  const message = raw(incoming.rawHeaders, Buffer.concat(pieces));
  if (incoming.url.startsWith("/mdn")) {
    outgoing.end();
    return mdnArrived(message);
  }
  const answer = await take(message, incoming.headers).catch((error) => {
    arrived = { error: String(error) };
    return { headers: {}, body: "" };
  });
  const target = incoming.headers["receipt-delivery-option"];
  if (!target) return outgoing.writeHead(200, answer.headers).end(answer.body);
  outgoing.writeHead(200).end();
  await request({ ...answer, url: target });
}

async function obey(command) {
  if (command.send) return send(command.send);
  if (command.expect) { expected = command.expect; arrived = null; return {}; }
  return arrived || { error: "no message arrived" };
}

async function main() {
  const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
  const server = http.createServer((incoming, outgoing) => {
    serve(incoming, outgoing).catch((error) => { arrived = { error: String(error) }; outgoing.destroy(); });
  });
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const command = JSON.parse(line);
    if (settings) {
      say(await obey(command).catch((error) => ({ error: String(error) })));
    } else {
      await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
      settings = { ...command, origin: `http://127.0.0.1:${server.address().port}` };
      say({ origin: settings.origin });
    }
  }
  process.exit(0);
}

main();
