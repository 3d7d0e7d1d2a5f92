/**
 * A transform of your own: adds one member to every event, behind its own ones, and leaves their bytes as they are.
 *
 *   transforms:
 *     - ./add-member.mjs: {name: site, value: Berlin}
 *
 * What a transform owes is in `Transform` of the package's types, and the suite of the package checks it (test/plug-ins/examples.test.ts).
 */

/** @type {import('devo-proofpoint-tap-collector').CreateTransform} */
export function createTransform({ name, value }, { eventsOf }) {
  if (typeof name !== 'string' || value === undefined) throw new Error('needs a name and a value')
  const member = `${JSON.stringify(name)}:${JSON.stringify(value)}}\n`
  return (batch) => {
    const lines = []
    // An event ends with its closing brace; `{}` has nothing that a comma would belong behind.
    for (const event of eventsOf(batch)) lines.push(event.subarray(0, -1), Buffer.from(event.length === 2 ? member : `,${member}`))
    return { ...batch, lines: new Uint8Array(Buffer.concat(lines)) }
  }
}
