import test from 'ava'
test('node 24 runs TypeScript', (t) => {
  t.true(Number(process.versions.node.split('.')[0]) >= 24)
})
