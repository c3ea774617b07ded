// Asks Perfetto's own reader: node tpq.mjs FOLDER, where FOLDER holds the trace processor as WASM
// (.ci/prepare perfetto FOLDER). Every line of input is a request, {"trace": PATH, "queries": [SQL, ...]};
// every line of output its answer, [{"columns": [...], "rows": [[...], ...]} or {"error": TEXT}, ...].
import fs from 'node:fs';
import path from 'node:path';
import readline from 'node:readline';
import vm from 'node:vm';
import { pathToFileURL } from 'node:url';

const SLICE_BYTES = 32 << 20; // a frame of its protocol holds 64 MiB
const folder = path.resolve(process.argv[2]);
const answer = (text) => fs.writeSync(1, text + '\n');
process.on('uncaughtException', (error) => { // it throws where nobody can catch when a trace is not one
  answer(JSON.stringify([{ error: String(error?.stack ?? error) }, {}]));
  process.exit(1);
});
console.log = console.warn = () => {};

// It is made for a browser's worker.
globalThis.self = globalThis;
globalThis.WorkerGlobalScope = function () {};
globalThis.location = { href: pathToFileURL(folder).href + '/' };
globalThis.wasmBytes = new Uint8Array(fs.readFileSync(path.join(folder, 'trace_processor.wasm')));
const ready = new Promise((resolve) => { globalThis.wasmReady = resolve; });
const edits = [
  ['this.useMemory64 = hasMemory64Support();', 'this.useMemory64 = false;'],
  ['locateFile: (s) => s,', 'locateFile: (s) => s, wasmBinary: globalThis.wasmBytes,'],
  ['new wasm_bridge_1.WasmBridge();', 'globalThis.wasmBridge = new wasm_bridge_1.WasmBridge();'],
  ['() => deferredRuntimeInitialized.resolve()', '() => { deferredRuntimeInitialized.resolve(); globalThis.wasmReady(); }'],
];
let bundle = fs.readFileSync(path.join(folder, 'engine_bundle.node.js'), 'utf8');
for (const [from, to] of edits) {
  if (!bundle.includes(from)) throw new Error(`the bundle in ${folder} has no '${from}': it is another version`);
  bundle = bundle.replace(from, to);
}
const { EngineBase } = await import(pathToFileURL(path.join(folder, 'engine.mjs')).href);
vm.runInThisContext(bundle, { filename: 'engine_bundle.node.js' });

class Engine extends EngineBase {
  constructor(port) {
    super();
    this.mode = 'WASM';
    this.id = 'tests';
    this.port = port;
    port.onmessage = (message) => {
      if (message.data instanceof Uint8Array) this.onRpcResponseBytes(message.data);
    };
  }
  rpcSendRequestBytes(data) {
    this.port.postMessage(data);
  }
}

const channel = new MessageChannel();
globalThis.wasmBridge.initialize(channel.port1);
const engine = new Engine(channel.port2);
await ready;
await new Promise((resolve) => setImmediate(resolve));

async function load(trace) {
  await engine.resetTraceProcessor({
    cropTrackEvents: false, ingestFtraceInRawTable: false,
    analyzeTraceProtoContent: false, ftraceDropUntilAllCpusValid: false,
  });
  const bytes = new Uint8Array(fs.readFileSync(trace));
  for (let at = 0; at < bytes.length; at += SLICE_BYTES) {
    await engine.parse(bytes.subarray(at, at + SLICE_BYTES));
  }
  await engine.notifyEof();
}

// Whole numbers as such: JavaScript's own would lose nanoseconds.
const value = (item) => (typeof item === 'bigint' ? String(item) : JSON.stringify(item));

async function query(sql) {
  const result = await engine.query(sql);
  const columns = result.columns();
  const rows = [];
  for (const row = result.iter({}); row.valid(); row.next()) {
    rows.push(`[${columns.map((column) => value(row.get(column))).join(',')}]`);
  }
  return `{"columns":${JSON.stringify(columns)},"rows":[${rows.join(',')}]}`;
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  await load(request.trace);
  const answers = [];
  for (const sql of request.queries) {
    answers.push(await query(sql).catch((error) => JSON.stringify({ error: String(error.message) })));
  }
  answer(`[${answers.join(',')}]`);
}
process.exit(0);
