/** The table for those who come from KubeSpawner names all that it has, and counterparts that there are. */
import { readFile } from 'node:fs/promises'
import test from 'ava'

/** Every setting of the class in 7.1.0, and those of Spawner that it heeds in a way of its own. */
const settings = `
  k8s_api_verify_ssl k8s_api_ssl_ca_cert k8s_api_host k8s_api_threadpool_workers k8s_api_request_timeout
  k8s_api_request_retry_timeout events_enabled enable_user_namespaces slug_scheme user_namespace_labels
  user_namespace_annotations user_namespace_template namespace services_enabled ip cmd working_dir
  service_account automount_service_account_token dns_name_template pod_name_template pod_connect_ip
  storage_pvc_ensure delete_pvc pvc_name_template remember_pvc_name component_label secret_name_template
  secret_mount_path hub_connect_ip hub_connect_port common_labels extra_labels extra_annotations image
  image_pull_policy image_pull_secrets node_selector uid gid fs_gid supplemental_gids privileged
  allow_privilege_escalation container_security_context pod_security_context modify_pod_hook
  after_pod_created_hook volumes volume_mounts storage_capacity storage_extra_annotations storage_extra_labels
  storage_class storage_access_modes storage_selector lifecycle_hooks init_containers extra_container_config
  extra_pod_config extra_containers handle_legacy_names scheduler_name tolerations node_affinity_preferred
  node_affinity_required pod_affinity_preferred pod_affinity_required pod_anti_affinity_preferred
  pod_anti_affinity_required extra_resource_guarantees extra_resource_limits delete_stopped_pods
  additional_profile_form_template_paths profile_form_template profile_list priority_class_name
  delete_grace_period slow_spawn_message_threshold slow_spawn_message_frequency slow_spawn_message get_pod_url
  port args environment cpu_limit cpu_guarantee mem_limit mem_guarantee start_timeout
`
  .trim()
  .split(/\s+/)

const read = async (path: string): Promise<string> => await readFile(new URL(`../../${path}`, import.meta.url), 'utf8')

test('each setting of KubeSpawner has its line in the table', async (t) => {
  const table = (await read('config/kubernetes/README.md')).split('## From KubeSpawner')[1] ?? ''
  const rows = table.split('\n').filter((line) => line.startsWith('|'))
  const named = new Set(
    rows.flatMap((line) => [...(line.split('|')[1] ?? '').matchAll(/`(\w+)`/g)].map(([, name]) => name)),
  )
  t.deepEqual(
    settings.filter((name) => !named.has(name)),
    [],
  )
})

test('what stands for it is in the reference', async (t) => {
  const reference = await read('config/reference.md')
  const table = (await read('config/kubernetes/README.md')).split('## From KubeSpawner')[1] ?? ''
  const counterparts = table
    .split('\n')
    .flatMap((line) => [...(line.split('|')[2] ?? '').matchAll(/`([a-zA-Z.]+)`/g)].map(([, name = '']) => name))
  t.true(counterparts.length > 50)
  t.deepEqual(
    counterparts.filter((name) => !reference.includes(name)),
    [],
  )
})
