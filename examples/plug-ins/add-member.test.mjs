/** The contract of transforms on the example, by Node's own runner: `node --test` in this folder. */
import { describe, test } from 'node:test'
import { testTools, transformContract } from 'devo-proofpoint-tap-collector/contract'
import { createTransform } from './add-member.mjs'

transformContract('a member that is added', () => createTransform({ name: 'site', value: 'Berlin' }, testTools()), { describe, test })
