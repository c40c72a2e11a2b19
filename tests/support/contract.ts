import type { ContractCase } from '../../hub/plugins/contracts/contract.ts'

/** Whether a subject keeps all promises of its contract. */
export async function passes<Subject>(cases: readonly ContractCase<Subject>[], subject: Subject): Promise<boolean> {
  for (const { run } of cases) {
    const isKept = await run(subject).then(
      () => true,
      () => false,
    )
    if (!isKept) return false
  }
  return true
}
