/**
 * Writes the description of each HTTP service: an OpenAPI document, and for people a page.
 *
 *     npm run rest                write
 *     npm run rest -- --check     fail when the files disagree with the code
 * @module
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { openApi as channelOpenApi } from '../src/channel/http/openApi.ts'
import { grapheneKey, seedSecret } from '../src/core/crypto/graphene/index.ts'
import { createExchangeServer } from '../src/des/server/index.ts'
import { desVectors } from './desVectors.ts'

interface Schema {
  readonly $ref?: string
  readonly title?: string
  readonly description?: string
  readonly type?: string
  readonly const?: string | number
  readonly enum?: readonly (string | number | null)[]
  readonly anyOf?: readonly Schema[]
  readonly oneOf?: readonly Schema[]
  readonly not?: object
  readonly items?: Schema
  readonly properties?: Readonly<Record<string, Schema>>
  readonly additionalProperties?: Schema | boolean
  readonly required?: readonly string[]
}
type Content = Readonly<Record<string, { readonly schema?: Schema }>>
interface Parameter {
  readonly name: string
  readonly in: string
  readonly required: boolean
  readonly description?: string
  readonly schema: Schema
}
interface Operation {
  readonly operationId: string
  readonly summary: string
  readonly description?: string
  readonly security?: readonly Readonly<Record<string, readonly string[]>>[]
  readonly parameters?: readonly Parameter[]
  readonly requestBody?: { readonly content: Content }
  readonly responses: Readonly<Record<string, { readonly description: string; readonly content: Content }>>
}
interface Document {
  readonly info: { readonly title: string; readonly description: string }
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> }
}

/** What an operation sends and gets, where its schema can't say it. */
interface Samples {
  readonly body?: unknown
  readonly answer?: unknown
  /** The request that takes the same body. */
  readonly bodyOf?: string
}

/** A service, and what its page says beside its document. */
interface Service {
  /** The document is `openapi/NAME.json`, the page `NAME-rest.md`. */
  readonly name: string
  /** Where its routes are. */
  readonly source: string
  document(): Promise<object>
  /** What comes before the list of requests. */
  readonly lead: string
  /** Operations by heading, each with its section in the seed or '' for none; all are listed once. @default as they come */
  readonly groups?: Readonly<Record<string, Readonly<Record<string, string>>>>
  /** Fields that every answer has, and `lead` explains. @default none */
  readonly envelope?: readonly string[]
  samples?(): Promise<Readonly<Record<string, Samples>>>
}

const services: readonly Service[] = [
  {
    name: 'channel',
    source: 'src/channel/http/',
    document: async () => channelOpenApi(),
    lead: 'How to start the service, and who may use it: [src/channel/http/README.md](../src/channel/http/README.md).',
  },
  {
    name: 'des',
    source: 'src/des/server/',
    async document() {
      const server = await createExchangeServer({ key: grapheneKey(seedSecret('des')), percent: 0 })
      await server.stop()
      return server.openapi
    },
    lead: [
      'How an exchange works and is run: [des.md](des.md); numbers are the sections of the seed. What data sources are asked, and answer, is `POST` at their own address: [a question](des.md#a-question-and-its-answer).',
      '**Bodies** are JSON (`content-type: application/json`). Integers above 2^53 are exact, both ways: read them losslessly. Times are milliseconds since 1970 unless told otherwise; amounts are in the smallest unit of their asset, but decimals in bills.',
      '**Answers** of the market (`/market/…`) are in an envelope, `{ "code": 1, "msg": "成功", "data": … }`, those of bills with an empty `msg` and `total`; below, only what lies beside `code` and `msg` is shown. All others are bare.',
      '**Failures** have a status of HTTP and a body in the manner of the answers ([below](#failures)). Who sends `Accept: application/problem+json` gets problem details of RFC 9457 everywhere, whose `code` is the most exact.',
      '**Who may**: the bearer token is what `POST /signin/token` gives, sent as `Authorization: Bearer …`; the operator\'s token is the option `operatorToken`. What needs no token is guarded by signatures inside the body, or by a name that only those who know may use.',
    ].join('\n\n'),
    envelope: ['code', 'msg'],
    groups: {
      'Accounts and market': {
        bindAccount: '1.1',
        createCategory: '1.2',
        createProduct: '1.3',
        addMembers: '1.4',
        updateProduct: '1.6',
        vote: '1.7',
        listProducts: '1.8',
        getProduct: '1.9',
        listVotes: '1.10',
        getVote: '1.11',
      },
      Bills: {
        listCharges: '1.12',
        listExchanges: '1.13',
        getMonthBill: '1.14',
        getMonthTotal: '1.15',
        getRecentDays: '1.16',
        getTotal: '1.17',
      },
      Exchange: {
        heartbeat: '2.1',
        getProductOnSale: '2.2',
        createRequest: '2.3',
        createRequestOfVersion: '2.3',
        getResult: '2.4',
      },
      'Beyond the seed': {
        cancelRequest: '',
        getEvidence: '',
        activePublicKey: '',
        listCategories: '',
        getProfile: '',
        changeProfile: '',
        getLogo: '',
        downloadMonthBill: '',
        listNotices: '',
        readNotices: '',
        getChallenge: '',
        signIn: '',
        signOut: '',
        health: '',
        ready: '',
        getOpenApi: '',
      },
    },
    async samples() {
      const { messages } = await desVectors()
      return {
        bindAccount: { body: messages.bind },
        createProduct: { body: messages.createProduct },
        updateProduct: { body: messages.updateProduct },
        heartbeat: { body: messages.heartbeat },
        getProductOnSale: { answer: messages.product },
        createRequest: { body: messages.createRequest },
        createRequestOfVersion: { bodyOf: 'POST /api/request/create/{product_id}' },
        getResult: { answer: messages.result },
        getEvidence: { answer: messages.evidence },
      }
    },
  },
]

/** The files, by their path in `docs/`. */
export async function restFiles(): Promise<Readonly<Record<string, string>>> {
  const files: Record<string, string> = {}
  for (const service of services) {
    const text = JSON.stringify(await service.document(), null, 2)
    files[`openapi/${service.name}.json`] = `${text}\n`
    files[`${service.name}-rest.md`] = reference(service, JSON.parse(text) as Document, (await service.samples?.()) ?? {})
  }
  return files
}

/** A request of a document. */
interface Request {
  /** `GET /health`. */
  readonly name: string
  readonly operation: Operation
  /** Of the seed; '' for none. */
  readonly seed: string
}

const heading = (method: string, path: string): string => `${method.toUpperCase()} ${path}`
/** The anchor that GitHub gives a heading. */
const anchor = (text: string): string => text.toLowerCase().replaceAll(/[^a-z0-9 _-]/g, '').replaceAll(' ', '-')
/** The statuses of problems that an operation may answer with. */
const problems = ({ responses }: Operation): string[] => Object.keys(responses).filter((code) => Number(code) >= 400)
/** Those that say nothing about the request. */
const everywhere = ['401', '403', '500', '503', '504']
const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`).join('\n')
const sample = (value: unknown): string => `\`\`\`json\n${JSON.stringify(value, null, 2)}\n\`\`\``

/** What a caller has to bring. */
function needs({ security }: Operation): string {
  if (!security) return 'bearer token'
  return security.length === 0 ? '' : "operator's token"
}

/** The requests by heading, in the order of the groups. */
function grouped({ groups }: Service, { paths }: Document): Readonly<Record<string, readonly Request[]>> {
  const all = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]): Request => ({ name: heading(method, path), operation, seed: '' })),
  )
  if (!groups) return { Requests: all }
  const open = new Map(all.map((request) => [request.operation.operationId, request]))
  const found = Object.entries(groups).map(([title, members]) => {
    const requests = Object.entries(members).map(([id, seed]): Request => {
      const request = open.get(id)
      if (!request) throw new Error(`${id} is no operation, or is listed twice`)
      open.delete(id)
      return { ...request, seed }
    })
    return [title, requests] as const
  })
  if (open.size > 0) throw new Error(`no group lists ${[...open.keys()].join(', ')}`)
  return Object.fromEntries(found)
}

function reference(service: Service, document: Document, samples: Readonly<Record<string, Samples>>): string {
  const { name, source, lead } = service
  const { info, components: { schemas } } = document
  const groups = grouped(service, document)
  const requests = Object.values(groups).flat()
  const hasSeed = requests.some(({ seed }) => seed !== '')
  const statuses = new Map(requests.flatMap(({ operation }) =>
    problems(operation).map((code) => [code, operation.responses[code]!.description] as const)))
  const named = Object.entries(schemas).filter(([title]) => !title.startsWith('Event.'))
  const events = Object.entries(schemas).filter(([title]) => title.startsWith('Event.'))
  return [
    `# ${info.title}: HTTP reference`,
    `<!-- Written by \`npm run rest\` from ${source}. -->`,
    `${info.description} The same as OpenAPI 3.1: [openapi/${name}.json](openapi/${name}.json). ${lead}`,
    table([...(hasSeed ? ['seed'] : []), 'request', 'what it does', 'needs'], requests.map(({ name: title, operation, seed }) =>
      [...(hasSeed ? [seed] : []), `[${title}](#${anchor(title)})`, operation.summary, needs(operation)])),
    ...Object.entries(groups).flatMap(([title, members]) => [
      `## ${title}`,
      ...members.flatMap((request) => section(request, service, samples[request.operation.operationId] ?? {})),
    ]),
    ...failures(groups),
    '## Statuses of problems',
    commonProblems(requests),
    table(['status', 'why'], [...statuses].sort().map(([code, why]) => [code, why])),
    '## Objects',
    ...named.flatMap(([title, schema]) => {
      const choice = schema.oneOf ?? schema.anyOf
      return [`### ${title}`, ...(choice ? ['One of:', ...choice.map((each) => fields(each))] : [fields(schema)])]
    }),
    ...(events.length === 0 ? [] : [
      '## Events',
      table(['event', 'what it carries'], events.map(([event, { properties = {} }]) =>
        [`\`${event.slice('Event.'.length)}\``, Object.entries(properties).map(([field, schema]) => `\`${field}\`: ${kind(schema)}`).join(', ')])),
    ]),
  ].join('\n\n') + '\n'
}

/** Which problems are not named at each request, and who answers without them. */
function commonProblems(requests: readonly Request[]): string {
  const common = everywhere.filter((code) => requests.some(({ operation }) => problems(operation).includes(code)))
  const open = common.filter((code) => code !== '401')
  const without = requests.filter(({ operation }) => open.some((code) => !problems(operation).includes(code)))
  const but = without.length > 0 ? `All requests but ${without.map(({ name }) => `\`${name}\``).join(', ')}` : 'All requests'
  return `${but} can answer with ${open.join(', ')}, and those that need a token with 401; above, only the others are named.`
}

/** What a failure looks like, where it isn't problem details alone. */
function failures(groups: Readonly<Record<string, readonly Request[]>>): string[] {
  const shapes = new Map<string, { readonly schema: Schema; readonly of: Set<string> }>()
  for (const [title, requests] of Object.entries(groups)) {
    for (const { operation } of requests) {
      for (const code of problems(operation)) {
        const schema = operation.responses[code]!.content['application/json']?.schema
        if (!schema?.properties || !('code' in schema.properties)) continue
        const text = JSON.stringify(schema)
        const shape = shapes.get(text) ?? { schema, of: new Set() }
        shapes.set(text, { ...shape, of: shape.of.add(title) })
      }
    }
  }
  if (shapes.size === 0) return []
  return ['## Failures', ...[...shapes.values()].flatMap(({ schema, of }) => [`${[...of].join(', ')}:`, fields(schema)])]
}

function section({ name, operation, seed }: Request, { envelope = [], groups }: Service, samples: Samples): string[] {
  const { summary, description, parameters = [], requestBody, responses } = operation
  // A path's own parameters tell nothing more, unless they do.
  const given = parameters.filter((parameter) => parameter.in !== 'path' || parameter.description !== undefined)
  const [good] = Object.entries(responses).filter(([code]) => Number(code) < 400)
  const [media, content] = Object.entries(good?.[1].content ?? {})[0] ?? []
  const body = requestBody && fields(requestBody.content['application/json']!.schema ?? {})
  const need = needs(operation)
  const refused = problems(operation).filter((code) => !everywhere.includes(code) || (code === '401' && need === ''))
  return [
    `### ${name}`,
    [
      ...(seed === '' ? [] : [`Seed ${seed}.`]),
      `${summary}.`,
      ...(description ? [description] : []),
      // Where it is not the same for all.
      ...(groups && need !== '' ? [`Needs the ${need}.`] : []),
    ].join(' '),
    ...(given.length > 0 ? [table(['parameter', 'in', 'what it is'], given.map((parameter) =>
      [`\`${parameter.name}\`${parameter.in === 'query' && !parameter.required ? ' (optional)' : ''}`, parameter.in, parameter.description ?? kind(parameter.schema)]))] : []),
    ...(body ? ['Body:', body] : []),
    ...(samples.bodyOf === undefined ? [] : [`Body: as of [${samples.bodyOf}](#${anchor(samples.bodyOf)}).`]),
    ...(samples.body === undefined ? [] : [`${body ? 'Such as' : 'Body, such as'}:`, sample(samples.body)]),
    ...(refused.length > 0 ? [`Problems: ${refused.join(', ')}.`] : []),
    ...(good ? answerOf(good[0], media, content?.schema, envelope, samples) : []),
  ]
}

function answerOf(
  code: string,
  media: string | undefined,
  schema: Schema | undefined,
  envelope: readonly string[],
  samples: Samples,
): string[] {
  if (media === undefined) return []
  if (media !== 'application/json') return [`Answer ${code}: ${media}.`]
  if (samples.answer !== undefined) return [`Answer ${code}, such as:`, sample(samples.answer)]
  const shape = schema?.properties ? schema : schema?.items?.properties ? schema.items : undefined
  if (!schema || !shape) return [`Answer ${code}: ${schema ? kind(schema) : 'nothing'}.`]
  const rows = fields(shape, envelope)
  if (!rows) return [`Answer ${code}: nothing more.`]
  return [`Answer ${code}: ${schema.items ? 'a list of objects' : 'an object'}.`, rows]
}

/** A table of fields, those within fields too; nothing if there are none. @param but fields that are left out, at the top. */
function fields(schema: Schema, but: readonly string[] = []): string {
  const isEnvelope = but.length > 0 && but.every((name) => name in (schema.properties ?? {}))
  const rows = rowsOf(schema, '', isEnvelope ? but : [])
  return rows.length > 0 ? table(['field', 'type', 'what it is'], rows) : ''
}

function rowsOf({ properties = {}, required = [] }: Schema, prefix: string, but: readonly string[] = []): string[][] {
  return Object.entries(properties).flatMap(([name, schema]) => {
    if (but.includes(name)) return []
    const isList = schema.items !== undefined
    const inner = isList ? schema.items : schema
    const isNeeded = required.includes(name) || schema.not !== undefined
    const own = [
      `\`${prefix}${name}\`${isNeeded ? '' : ' (optional)'}`,
      inner.properties ? (isList ? 'list of objects' : 'object') : kind(schema),
      schema.description ?? '',
    ]
    const within = inner.properties ? rowsOf(inner, `${prefix}${name}${isList ? '[]' : ''}.`) : []
    // What an object holds shows that it is there.
    return within.length > 0 && isNeeded && schema.description === undefined ? within : [own, ...within]
  })
}

/** What a value is, in a few words. */
function kind(schema: Schema): string {
  const { $ref, title, type, enum: values, anyOf, oneOf, items, additionalProperties } = schema
  if ($ref) {
    const name = $ref.split('/').at(-1)!
    return `[${name}](#${anchor(name)})`
  }
  if (title) return title.toLowerCase().replace('eip', 'EIP').replace('rfc', 'RFC')
  if (schema.const !== undefined) return `\`${JSON.stringify(schema.const)}\``
  if (values) return values.map((value) => `\`${JSON.stringify(value)}\``).join(' or ')
  if (schema.not) return 'nothing'
  const choice = anyOf ?? oneOf
  if (choice) return [...new Set(choice.map(kind))].join(' or ').replace('integer or string', 'integer, also as text')
  if (items) return `list of ${kind(items)}`
  if (typeof additionalProperties === 'object') return `object by name, of ${kind(additionalProperties)}`
  if (schema.properties) return `{ ${Object.keys(schema.properties).map((name) => `\`${name}\``).join(', ')} }`
  return type ?? 'anything'
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [name, next] of Object.entries(await restFiles())) {
    const url = new URL(`../docs/${name}`, import.meta.url)
    let now = ''
    try {
      now = readFileSync(url, 'utf8')
    } catch {
      // written below
    }
    if (next === now) continue
    if (process.argv.includes('--check')) {
      console.error(`docs/${name} disagrees with the code: run \`npm run rest\``)
      process.exitCode = 1
      continue
    }
    mkdirSync(new URL('.', url), { recursive: true })
    writeFileSync(url, next)
  }
}
