/**
 * Example of a plug-in: whose an identity is, by the user office's list, which it exports to a JSON file now and then:
 * [{"issuer": "https://login.example.org", "subject": "…", "account": "ada"}, …]. `legacyHash` in place of `subject` is
 * the EAAHash of the first UmbrellaID. Nothing in the identity's claims is looked at: anybody can have any name there.
 */
import { readFile } from 'node:fs/promises'
import { z } from 'zod'

const optionsSchema = z.strictObject({
  path: z.string().startsWith('/', 'must be an absolute path').describe('The list.'),
})

const text = z.string().min(1)
const listSchema = z.array(
  z.union([
    z.strictObject({ issuer: text, subject: text, account: text }),
    z.strictObject({ issuer: text, legacyHash: text, account: text }),
  ]),
)

export default {
  kind: 'matching',
  optionsSchema,
  create({ path }) {
    return {
      async match({ issuer, subject, legacyHash }, signal) {
        const list = listSchema.parse(JSON.parse(await readFile(path, { encoding: 'utf8', signal })))
        const isTheirs = (row) => ('subject' in row ? row.subject === subject : row.legacyHash === legacyHash)
        const accounts = new Set(list.filter((row) => row.issuer === issuer && isTheirs(row)).map((row) => row.account))
        if (accounts.size > 1) throw new Error(`the list has ${accounts.size} accounts for one identity`)
        const [account] = accounts
        return account === undefined ? undefined : { account }
      },
    }
  },
}
