export { batchesOf, batchOf, eventually } from '../../src/contract/batches.ts'
