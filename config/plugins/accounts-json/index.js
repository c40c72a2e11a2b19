/**
 * Example of a plug-in: accounts from a JSON file, {"ada": {"uid": 2001, "gid": 2001, "home": "/home/ada"}, …}, which
 * is read again at each question. A package of your own has the same shape; plain JavaScript, because Node strips no
 * types beneath node_modules.
 */
import { readFile } from 'node:fs/promises'
import { z } from 'zod'

const optionsSchema = z.strictObject({
  path: z.string().startsWith('/', 'must be an absolute path').describe('The file.'),
})

const fileSchema = z.record(
  z.string(),
  z.strictObject({
    uid: z.int().min(1),
    gid: z.int().min(1),
    home: z.string(),
    shell: z.string().default('/bin/bash'),
    groups: z.array(z.strictObject({ name: z.string(), gid: z.int().min(1) })).default([]),
  }),
)

export default {
  kind: 'accounts',
  optionsSchema,
  create({ path }) {
    return {
      async find(name, signal) {
        // What can't be read or is wrong throws: then nobody knows, and the launch is refused.
        const people = fileSchema.parse(JSON.parse(await readFile(path, { encoding: 'utf8', signal })))
        return Object.hasOwn(people, name) ? { name, ...people[name] } : undefined
      },
    }
  },
}
