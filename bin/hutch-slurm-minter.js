#!/usr/bin/env node
// Runs under any Node from 20 on; node24.js finds the Node 24 that the package brings.
import { run } from './node24.js'

await run(new URL('../spawners/slurm/minter/main.ts', import.meta.url))
