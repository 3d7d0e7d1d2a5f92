/** Takes known secrets out of any text, as they are and as JSON, URL and Basic authentication write them. */
export class SecretScrubber {
  /** The longest first: of one that begins another's text, what follows would stay. */
  #forms: readonly string[] = []

  /** Values shorter than four characters would cut ordinary words out of the log and are no protection anyway. */
  add(secret: string): void {
    if (secret.length < 4) return
    this.#keep(secret, JSON.stringify(secret).slice(1, -1), encodeURIComponent(secret))
  }

  addBasic(username: string, password: string): void {
    this.add(password)
    this.#keep(Buffer.from(`${username}:${password}`).toString('base64'))
  }

  scrub(text: string): string {
    let clean = text
    for (const form of this.#forms) if (clean.includes(form)) clean = clean.replaceAll(form, '[secret]')
    return clean
  }

  /** The same for a JSON text, which stays one also where a secret looks like a number or a word of JSON. */
  scrubJson(json: string): string {
    return this.#forms.some((form) => json.includes(form)) ? JSON.stringify(this.#hideIn(JSON.parse(json))) : json
  }

  #hideIn(value: unknown): unknown {
    if (Array.isArray(value)) return value.map((entry) => this.#hideIn(entry))
    if (typeof value === 'object' && value !== null) return Object.fromEntries(Object.entries(value).map(([name, entry]) => [this.scrub(name), this.#hideIn(entry)]))
    const text = String(value)
    const clean = this.scrub(text)
    return clean === text ? value : clean
  }

  #keep(...forms: string[]): void {
    this.#forms = [...new Set([...this.#forms, ...forms])].sort((one, other) => other.length - one.length)
  }
}
