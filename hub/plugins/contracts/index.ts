/** What `hutch/contracts` gives to a site that writes a plug-in or a spawner. */
export { spawnerContract } from '../../../spawners/contract.ts'
export { accountContract } from './accounts.ts'
export { authenticatorContract } from './authenticator.ts'
export { catalogueContract } from './catalogue.ts'
export { credentialsContract } from './credentials.ts'
export { matchingContract } from './matching.ts'
export { notifierContract } from './notifier.ts'
