/** Of the contract those that a new way to a cluster can break by itself; what they share is held by another way's run. */
import { spawnerContract, type ContractCase } from '../../spawners/contract.ts'

const titles: ReadonlySet<string> = new Set([
  'an accepted environment is seen, runs, and tells where',
  'owner and digest come back',
  'ensure twice is once',
  'remove makes it not exist, and a second remove is success',
  'what ended with 3 has failed, and says 3',
  'what can never run is refused for good, and leaves nothing',
  'logs are there and are bounded',
  'the end time can be moved',
  'a backend that can tell nothing never says that there is nothing',
])

export const essentialCases: readonly ContractCase[] = spawnerContract.filter(({ title }) => titles.has(title))

if (essentialCases.length !== titles.size) throw new Error('a case of the contract has another title now')
