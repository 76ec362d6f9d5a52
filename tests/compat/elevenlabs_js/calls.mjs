// Makes calls of @elevenlabs/elevenlabs-js, one a line, and says what it makes of each answer.
//
//     node calls.mjs PACKAGES BASE_URL API_KEY          (PACKAGES: the folder that npm installed into)
//     < {"method": "conversationalAi.agents.get", "args": ["agent_1"]}
//     > {"answer": {"agentId": "agent_1", ...}}
//
// {"$file": [NAME, BASE64, TYPE]} in what is given is a file, and {"$bytes": BASE64} in an answer is bytes. The client is
// strict: an answer that lacks a required key is a failure of the call.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [packages, baseUrl, apiKey] = process.argv.slice(2);
const { ElevenLabsClient, ElevenLabsError } = createRequire(`${packages}/`)("@elevenlabs/elevenlabs-js");
const client = new ElevenLabsClient({ baseUrl, apiKey, maxRetries: 0 });

for await (const line of createInterface({ input: process.stdin })) {
    const call = JSON.parse(line);
    const names = call.method.split(".");
    const owner = names.slice(0, -1).reduce((value, name) => value[name], client);
    let note;
    try {
        note = { answer: (await shown(await owner[names.at(-1)](...given(call.args)))) ?? null };
    } catch (error) {
        const refused = error instanceof ElevenLabsError && error.statusCode >= 400;
        note = refused ? { status: error.statusCode, body: error.body } : { failure: `${error.name}: ${error.message}` };
    }
    process.stdout.write(`${JSON.stringify(note)}\n`);
}

function given(value) {
    if (Array.isArray(value)) return value.map(given);
    if (value === null || typeof value !== "object") return value;
    if ("$file" in value) {
        const [name, data, type] = value.$file;
        return new File([Buffer.from(data, "base64")], name, { type });
    }
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, given(item)]));
}

async function shown(value) {
    if (value === null || value === undefined || typeof value !== "object") return value;
    if (!(Symbol.asyncIterator in value)) return value;
    const parts = [];
    for await (const part of value) parts.push(part);
    return parts.every((part) => part instanceof Uint8Array) ? { $bytes: Buffer.concat(parts).toString("base64") } : parts;
}
