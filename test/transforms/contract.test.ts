import { describe, test } from 'vitest'
import { transformContract } from '../../src/contract/transform.ts'
import { createFilter } from '../../src/transforms/filter.ts'
import { createRedact } from '../../src/transforms/redact.ts'
import { onlyServices } from '../../src/transforms/services.ts'

const runner = { describe, test }
const BROKEN = ['{"a":', 'text', '{"recipient":"x"']
const phish = { field: '/classification', test: { kind: 'one-of', literals: [{ text: 'phish', number: null, boolean: null }] } } as const

transformContract('services', () => onlyServices(() => true), runner)
for (const effect of ['keep', 'drop'] as const) transformContract(`filter, ${effect}`, () => createFilter({ effect, conditions: [phish] }), runner, BROKEN)
for (const action of ['remove', 'mask', 'hash'] as const)
  transformContract(
    `redact, ${action}`,
    () => createRedact({ fields: ['/recipient', '/messageParts/*/filename'], action, key: action === 'hash' ? 'a key that is long enough' : null }),
    runner,
    BROKEN,
  )
