/**
 * The images `desktop`, `pymca` and `pyfai` as a facility runs them: the real hub and a real Docker, as the user, read-only, in a
 * real Chromium. With HUTCH_SCREENSHOTS=FOLDER it leaves pictures there.
 */
import { chmod, chown, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import type { Page } from 'playwright-core'
import { browser } from '../support/browser.ts'
import { untilDrawn } from '../support/desktopPage.ts'
import { startDocker, type TestDocker } from '../support/docker.ts'
import { dockerSite, type DockerSite } from '../support/dockerSubject.ts'
import { startHutch } from '../support/hutch.ts'
import { personAt } from '../support/person.ts'
import { temporaryFolder } from '../support/temporary.ts'
import { until } from '../support/until.ts'

const uid = 26_001

test('XFCE with JupyterLab beside it, PyMca on measured spectra, and pyFAI on a measured image, in containers', async (t) => {
  t.timeout(45 * 60_000, 'the first run builds the images')
  const opened = await browser(t)
  const docker = opened && (await startDocker(t, { images: ['desktop', 'pymca', 'pyfai'] }))
  if (opened === undefined || docker === undefined) return
  const site = await dockerSite(t, docker)
  const hutch = await startFacility(t, docker, site)
  const ada = await personAt(opened, hutch, 'ada')

  const inside = (image: string, program: string): Promise<string> =>
    docker.docker(
      ...`run --rm --read-only --tmpfs /tmp --network none --cap-drop ALL --user ${uid}:${uid}`.split(' '),
      docker.image(image),
      'python3',
      '-c',
      program,
    )
  const integrated = await inside('pyfai', integrates)
  t.log(integrated)
  const [, rings = '', apart = ''] = /rings (\d+) apart ([\d.e-]+)/.exec(integrated) ?? []
  t.true(Number(rings) > 300 && Number(apart) < 0.02, 'pyFAI finds what a plain mean finds')
  t.regex(integrated, /^pictures 1$/m)

  const desktop = await ada.open(await ada.launch('desktop', 'Desk'))
  await untilDrawn(desktop, 20)
  await picture(desktop, 'image-desktop')
  const lab = await until(
    'JupyterLab is beside it',
    async () => (await desktop.evaluate<number>("fetch('../../api').then(({ status }) => status)")) === 200,
    { timeoutMs: 120_000 },
  )
  t.true(lab)

  const pymca = await ada.open(await ada.launch('pymca', 'Spectra'))
  await untilDrawn(pymca, 20)
  await picture(pymca, 'image-pymca')
  const fit = await inside('pymca', fitSteel)
  t.regex(fit, /^(?=.*Cr)(?=.*Fe)(?=.*Ni)/s, 'a steel, by its spectrum')
})

/**
 * The image's own notebook, run from its first cell to its last as somebody who may write nowhere but in /tmp; then
 * pyFAI's curve against a plain mean over rings.
 */
const integrates = `
import nbformat
from nbclient import NotebookClient
book = nbformat.read('/usr/share/pyfai/integrate.ipynb', 4)
book.cells.append(nbformat.v4.new_code_cell('''
plain = integrator.integrate1d(image, 500, mask=mask, unit='q_A^-1', radial_range=(0.005, 0.16), correctSolidAngle=False)
good = ~mask.astype(bool) & np.isfinite(image)
which = np.floor((found[good] - 0.005) / (0.155 / 500)).astype(int)
inside = (which >= 0) & (which < 500)
sums, counts = [np.bincount(which[inside], weights, 500) for weights in (image[good][inside], None)]
enough = (counts > 50) & (plain.intensity > 0)
apart = np.abs(sums[enough] / counts[enough] / plain.intensity[enough] - 1)
print('rings', enough.sum(), 'apart', float(np.median(apart)))
'''))
NotebookClient(book, timeout=300, kernel_name='python3').execute()
outputs = [output for cell in book.cells for output in cell.get('outputs', [])]
print(''.join(output.text for output in outputs if output.output_type == 'stream' and output.name == 'stdout'))
print('pictures', sum('image/png' in output.get('data', {}) for output in outputs))
`

/** PyMca's own fit of its authors' measured spectrum of a steel: which elements it finds more of than a percent. */
const fitSteel = `
from PyMca5.PyMcaIO import ConfigDict, specfilewrapper
from PyMca5.PyMcaPhysics.xrf import ClassMcaTheory
folder = '/usr/share/pymca/'
y = specfilewrapper.Specfile(folder + 'Steel.spe')[0].mca(1)
fit = ClassMcaTheory.McaTheory()
settings = ConfigDict.ConfigDict()
settings.read(folder + 'Steel.cfg')
fit.configure(settings)
fit.setData(list(range(len(y))), y)
fit.estimate()
_, result = fit.startfit(digest=1)
areas = {group: result[group]['fitarea'] for group in result['groups']}
most = max(areas.values())
print(' '.join(group for group, area in areas.items() if area > most / 100))
`

async function startFacility(t: ExecutionContext, docker: TestDocker, site: DockerSite) {
  await chmod(site.endpoint.slice('unix://'.length), 0o666)
  // As the spawner makes it, but for the addresses of containers, which the test's machine must see as they are.
  const options = ['enable_icc', 'enable_ip_masquerade'].map((name) => `--opt=com.docker.network.bridge.${name}=false`)
  await docker.docker('network', 'create', ...options, 'hutch-facility')
  const home = join(site.folder, 'ada')
  await mkdir(home)
  await chown(home, uid, uid)
  const state = await temporaryFolder(t)
  const file = join(state, 'hutch.json')
  const profile = (part: object): object => ({
    kind: 'desktop',
    flavours: ['small'],
    on: { docker: { pull: 'never' } },
    ...part,
  })
  const configuration = {
    hub: { id: 'facility' },
    login: { demo: true },
    catalogue: { type: 'demo' },
    accounts: { source: 'file', users: { ada: { uid, gid: uid, home, shell: '/bin/bash' } } },
    agents: { listen: `${docker.machine}:0` },
    flavours: { small: { title: 'Small', cpu: 2, memory: '2GiB' } },
    environments: { perUser: 10 },
    spawners: {
      docker: {
        type: 'docker',
        endpoint: site.endpoint,
        agent: { from: 'folder', path: join(site.folder, 'agent') },
        hostRoots: [site.folder],
      },
    },
    profiles: {
      desktop: profile({ title: 'Desktop', image: docker.image('desktop') }),
      pymca: profile({ title: 'PyMca', image: docker.image('pymca'), argv: ['pymca'] }),
    },
  }
  await writeFile(file, JSON.stringify(configuration))
  return await startHutch(t, { state, args: ['--config', file] })
}

async function picture(page: Page, name: string): Promise<void> {
  const folder = process.env['HUTCH_SCREENSHOTS']
  if (folder === undefined) return
  await page.waitForTimeout(4_000)
  await page.screenshot({ path: join(folder, `${name}.png`) })
}
