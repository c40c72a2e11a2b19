/**
 * What can be a proposal's id: part of paths, of variables and of URLs. Ids from any catalogue are held against it,
 * so that a proposal named '../../etc' does not exist for us.
 */
export const proposalIdPattern = /^(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$/
