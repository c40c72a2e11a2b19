/** A profile whose application is on nobody's side: it shows what it is sent, and answers with what it may not set. */

const program = String.raw`
import http.server, json, socketserver, sys

class Hostile(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def log_message(self, *_):
        pass

    def do_GET(self):
        name = self.path.split('?')[0].rsplit('/', 1)[-1]
        if name == 'headers':
            self.send('application/json', json.dumps(self.headers.items()))
        elif name == 'worker.js':
            self.send('text/javascript', 'self.addEventListener("fetch", () => {})')
        else:
            self.send('text/html', '<!doctype html><title>hostile</title><h1>The application</h1>')

    def send(self, kind, text):
        body = text.encode()
        self.send_response(200)
        self.send_header('Content-Type', kind)
        self.send_header('Content-Length', str(len(body)))
        for cookie in [
            'own=1; Path=' + sys.argv[2],
            'root=1; Path=/',
            'hub=1; Path=/hub/',
            'parent=1; Domain=hutch.localhost',
            'here=1; Domain=127.0.0.1',
            'hutch-login=forged; Path=/hub/',
            'hutch-login=forged',
            'hutch-entry=forged',
            '__Host-hutch-login=forged; Path=/; Secure',
        ]:
            self.send_header('Set-Cookie', cookie)
        self.send_header('Service-Worker-Allowed', '/')
        self.send_header('Clear-Site-Data', '"cookies"')
        self.end_headers()
        self.wfile.write(body)

class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

Server(sys.argv[1], Hostile).serve_forever()
`

/** A whole configuration, as JSON: the demo's people, a terminal, and the profile `hostile`. */
export function hostileConfiguration(more: Readonly<Record<string, unknown>> = {}): string {
  const common = { flavours: ['small'], on: { here: {} } }
  return JSON.stringify({
    login: { demo: true },
    catalogue: { type: 'demo' },
    accounts: { source: 'demo' },
    flavours: { small: { title: 'Small', cpu: 1, memory: '1GiB' } },
    spawners: { here: { type: 'local', allowUnsandboxed: true, allowUnlimited: true } },
    profiles: {
      terminal: { title: 'Terminal', kind: 'terminal', ...common },
      hostile: {
        title: 'Hostile',
        kind: 'web',
        argv: ['/usr/bin/python3', '-c', program, '{socket}', '{prefix}'],
        ...common,
      },
    },
    ...more,
  })
}
