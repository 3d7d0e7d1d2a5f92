// Writes docs/licences.md: what a deployment is built of, and under which licences. `npm run licences`, after a change of the dependencies.
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { licencesPage, readLock } from './licences/page.ts'

const root = new URL('../', import.meta.url)
writeFileSync(new URL('docs/licences.md', root), licencesPage(readLock(fileURLToPath(root))))
