// The entry of the thread that parses one large services file (parse-in-thread.ts).

import { parentPort, workerData } from 'node:worker_threads'
import { type Parsed, parseFile } from './parse-file.ts'

const { path, bytes } = workerData as { readonly path: string; readonly bytes: Uint8Array }
parentPort?.postMessage(parseFile(path, bytes) satisfies Parsed)
