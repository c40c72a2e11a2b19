/**
 * Example of a plug-in: user name and password, checked against a private JSON file,
 * {"ada": {"salt": "<hex>", "scrypt": "<hex>", "title": "Ada Lovelace", "groups": ["staff"]}, …}, as
 * `node -e "const c=require('node:crypto'),s=c.randomBytes(16);console.log(s.toString('hex'),c.scryptSync(process.argv[1],s,32).toString('hex'))" PASSWORD`
 * makes salt and scrypt.
 */
import { scrypt, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'
import { z } from 'zod'

const optionsSchema = z.strictObject({
  path: z.string().startsWith('/', 'must be an absolute path').describe('The file, which others can not read.'),
})

const hex = z.string().regex(/^(?:[0-9a-f]{2}){8,64}$/)
const fileSchema = z.record(
  z.string(),
  z.strictObject({
    salt: hex,
    scrypt: hex,
    title: z.string().optional(),
    email: z.string().optional(),
    groups: z.array(z.string()).default([]),
  }),
)

const hash = promisify(scrypt)
/** For who is not there: it takes as long as for who is. */
const nobody = { salt: '00'.repeat(16), scrypt: '00'.repeat(32) }

export default {
  kind: 'authenticator',
  optionsSchema,
  create({ path }, { readSecret }) {
    return {
      // `fields` is absent: user name and password are asked for.
      async authenticate({ name, password }) {
        const people = fileSchema.parse(JSON.parse(await readSecret(path)))
        const person = Object.hasOwn(people, name) ? people[name] : undefined
        const { salt, scrypt: known } = person ?? nobody
        const given = await hash(password, Buffer.from(salt, 'hex'), known.length / 2)
        if (!timingSafeEqual(given, Buffer.from(known, 'hex')) || person === undefined) return undefined
        const { title, email, groups } = person
        return { subject: name, name, groups, ...(title && { title }), ...(email && { email }) }
      },
    }
  },
}
