/** The agent in a pod: where its folder comes from, and what starts it. No shell: an image may have none. Pure. */
import type { V1Container, V1Volume } from '@kubernetes/client-node'
import { nodeFlags } from '../../images/agent/node-flags.ts'
import type { KubernetesConfig } from './config.ts'
import { emptyDir } from './volumes.ts'

/** Where the exported folder is seen in the pod; an agent image has it at /agent. */
const folder = '/opt/hutch/agent'
const inImage = '/agent'
const loaders = { x64: 'ld-linux-x86-64.so.2', arm64: 'ld-linux-aarch64.so.1' } as const

export const agentVolume = 'hutch-agent'
export const bootstrapFile = '/run/hutch/bootstrap.json'

export interface AgentInPod {
  readonly command: readonly string[]
  readonly volume: V1Volume
  readonly mountPath: string
  /** Containers that run before. */
  readonly before: readonly Pick<V1Container, 'name' | 'image' | 'command' | 'volumeMounts'>[]
}

export function agentInPod({
  agent,
  agentArchitecture,
}: Pick<KubernetesConfig, 'agent' | 'agentArchitecture'>): AgentInPod {
  const node = (at: string): string[] => [
    `${at}/lib/${loaders[agentArchitecture]}`,
    '--library-path',
    `${at}/lib`,
    `${at}/node`,
  ]
  const command = (at: string): string[] => [...node(at), ...nodeFlags, `${at}/agent.cjs`, '--config', bootstrapFile]
  switch (agent.from) {
    case 'imageVolume': {
      const at = `${folder}${inImage}`
      const image = { reference: agent.image, pullPolicy: 'IfNotPresent' }
      return { command: command(at), volume: { name: agentVolume, image }, mountPath: folder, before: [] }
    }
    case 'node': {
      const volume = { name: agentVolume, hostPath: { path: agent.path, type: 'Directory' } }
      return { command: command(folder), volume, mountPath: folder, before: [] }
    }
    case 'copy': {
      const copying = `require('node:fs').cpSync('${inImage}', '${folder}', { recursive: true })`
      return {
        command: command(folder),
        volume: { name: agentVolume, ...emptyDir('512Mi') },
        mountPath: folder,
        before: [
          {
            name: 'hutch-agent',
            image: agent.image,
            command: [...node(inImage), '--eval', copying],
            volumeMounts: [{ name: agentVolume, mountPath: folder }],
          },
        ],
      }
    }
  }
}
