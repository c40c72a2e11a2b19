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
