#!/usr/bin/env node
import { run } from './node24.js'

await run('hub/cli/run')
