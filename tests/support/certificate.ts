/** Certificates for tests, made by openssl. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** Self-signed for 127.0.0.1 and localhost, as cert.pem and key.pem in the folder. */
export async function certificate(folder: string, name: string): Promise<{ certificateFile: string; keyFile: string }> {
  const [certificateFile, keyFile] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2']
  const subject = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=IP:127.0.0.1,IP:::1,DNS:localhost']
  await run('openssl', ['req', '-x509', ...key, ...subject, '-keyout', keyFile, '-out', certificateFile])
  return { certificateFile, keyFile }
}

export interface Signed {
  readonly cert: string
  readonly key: string
}

interface SignPart {
  readonly passphrase?: string
  readonly address?: string
  /** Host names beside localhost. */
  readonly hosts?: readonly string[]
}

/** An authority of its own in the folder; `sign` makes a key and a certificate for a server or a client. */
export async function authority(
  folder: string,
): Promise<{ ca: string; sign: (name: string, part?: SignPart) => Promise<Signed> }> {
  const [ca, caKey] = [join(folder, 'ca.pem'), join(folder, 'ca.key')]
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-days', '2']
  const name = ['-subj', '/CN=authority', '-addext', 'basicConstraints=critical,CA:TRUE']
  await run('openssl', ['req', '-x509', ...key, '-nodes', ...name, '-keyout', caKey, '-out', ca])
  return {
    ca,
    async sign(subject, { passphrase, address = '127.0.0.1', hosts = [] } = {}) {
      const signed = { cert: join(folder, `${subject}.pem`), key: join(folder, `${subject}.key`) }
      const locked = passphrase === undefined ? ['-nodes'] : ['-passout', `pass:${passphrase}`]
      const served = [`IP:${address}`, ...['localhost', ...hosts].map((host) => `DNS:${host}`)]
      const names = ['-subj', `/CN=${subject}`, '-addext', `subjectAltName=${served.join(',')}`]
      const files = ['-CA', ca, '-CAkey', caKey, '-keyout', signed.key, '-out', signed.cert]
      const leaf = ['-addext', 'basicConstraints=CA:FALSE']
      await run('openssl', ['req', '-x509', ...key, ...locked, ...names, ...leaf, ...files])
      return signed
    },
  }
}
