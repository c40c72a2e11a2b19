#!/usr/bin/env node
import { run } from './node24.js'

// The other commands end at once: the source will do.
await run(new URL('../hub/cli/run.ts', import.meta.url), process.argv[2] === 'start' ? 'hub' : undefined)
