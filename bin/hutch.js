#!/usr/bin/env node
import { run } from './node24.js'

await run(new URL('../hub/cli/run.ts', import.meta.url))
