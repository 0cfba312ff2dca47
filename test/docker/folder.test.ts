import { execFileSync } from 'node:child_process'
import { accessSync, constants, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { meaningOf } from '../../src/config/names.ts'
import { read } from './dockerfile.ts'

// What holds for every file of docker/.

const folder = fileURLToPath(new URL('../../docker', import.meta.url))
const files = readdirSync(folder)
const scripts = ['build-with-buildah', 'run-read-only']

t.test('every GENGATE_ name in docker/ is in the settings table', async (t) => {
  let seen = 0
  for (const file of files) {
    for (const [name] of read(`docker/${file}`).matchAll(/\bGENGATE_[A-Z\d_]+\b/g)) {
      seen++
      t.not(meaningOf(name).kind, 'unknown', `${file}: ${name}`)
    }
  }
  t.ok(seen > 10)
})

t.test('docker/README.md names every file of the folder', async (t) => {
  const text = read('docker/README.md')
  for (const file of files) if (file !== 'README.md') t.match(text, `\`docker/${file}\``)
})

t.test('scripts can be executed and are valid bash', async (t) => {
  for (const script of scripts) {
    const path = `${folder}/${script}`
    t.doesNotThrow(() => accessSync(path, constants.X_OK), script)
    t.doesNotThrow(() => execFileSync('bash', ['-n', path], { stdio: 'pipe' }), script)
    t.match(read(`docker/${script}`), /^#!\/usr\/bin\/env bash\n[^]*\nset -euo pipefail\n/, script)
  }
  const help = execFileSync('bash', [`${folder}/build-with-buildah`, '--help']).toString()
  t.match(help, 'docker/build-with-buildah [OPTION OF BUILDAH BUILD…]')
  t.notMatch(help, 'pipefail')
})
