/**
 * JupyterHub's default server has no name, and its address would hold all others; here its address ends in
 * `/default/`.
 */
const defaultServer = 'default'

/** The last part of an address → the name in the API. */
export const serverNameOf = (server: string): string => (server === defaultServer ? '' : server)

/** The name in the API → the last part of the address. */
export const serverOf = (name: string): string => (name === '' ? defaultServer : name)
