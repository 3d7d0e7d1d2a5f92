// Writes schemas/config.schema.json, by which editors help with config.yaml: `npm run schema`, after a change of a key in src/config/.
import { writeFileSync } from 'node:fs'
import { configSchema } from './config-schema/file.ts'

writeFileSync(new URL('../schemas/config.schema.json', import.meta.url), `${JSON.stringify(configSchema(), null, 1)}\n`)
