/// <reference types="node-pty" />

/** The package with prebuilt binaries is installed under the name node-pty; its types speak of its own name. */
declare module 'node-pty' {
  export * from '@lydell/node-pty'
}
