// The reader of the API's description: every route with what it takes and gives, and every type.

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { explainError } from "../app.ts";
import { Places } from "../ui/places.tsx";

interface Schema {
  $ref?: string;
  type?: string | string[];
  format?: string;
  description?: string;
  enum?: string[];
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema | false;
  prefixItems?: Schema[];
  oneOf?: Schema[];
  allOf?: Schema[];
  pattern?: string;
  minimum?: number;
  maximum?: number;
}

interface Media {
  content?: Record<string, { schema?: Schema }>;
  description?: string;
}

interface Operation {
  tags: string[];
  operationId: string;
  summary: string;
  security: object[];
  parameters?: { name: string; in: string; required?: boolean; description?: string; schema: Schema }[];
  requestBody?: Media;
  responses: Record<string, Media>;
}

interface Description {
  info: { title: string; version: string; description: string };
  servers: { url: string }[];
  tags: { name: string; description: string }[];
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema> };
}

const DESCRIPTION = "/api/v1/openapi.json";

export default function Docs() {
  const read = useSignal<Description | null>(null);
  const wrong = useSignal<string | null>(null);
  useEffect(() => {
    fetch(DESCRIPTION)
      .then(async (answer) => {
        if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
        read.value = (await answer.json()) as Description;
      })
      .catch((error: unknown) => {
        wrong.value = explainError(error);
      });
  }, []);

  const api = read.value;
  return (
    <main class="sheet docs">
      <div class="panel">
        <Places />
        <h1>The API</h1>
        {wrong.value !== null && <p class="notice bad">{wrong.value}</p>}
        {api !== null && (
          <>
            <p>
              {api.info.description} Version {api.info.version}; <a href={DESCRIPTION}>as OpenAPI</a>.
            </p>
            {api.tags.map((tag) => (
              <section key={tag.name}>
                <h2>{tag.name}</h2>
                <p class="hint">{tag.description}</p>
                {operations(api, tag.name).map(([method, path, operation]) => (
                  <Route key={operation.operationId} method={method} path={path} operation={operation} />
                ))}
              </section>
            ))}
            <section>
              <h2>Types</h2>
              {Object.entries(api.components.schemas).map(([name, schema]) => (
                <details key={name} id={name}>
                  <summary>
                    <code>{name}</code>
                  </summary>
                  <p>{schema.description}</p>
                  <Fields schema={schema} />
                </details>
              ))}
            </section>
          </>
        )}
      </div>
    </main>
  );
}

function operations(api: Description, tag: string): [string, string, Operation][] {
  const all = Object.entries(api.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]): [string, string, Operation] => [method, path, operation]),
  );
  return all.filter(([, , operation]) => operation.tags.includes(tag));
}

function Route({ method, path, operation }: { method: string; path: string; operation: Operation }) {
  const who = operation.security.some((way) => Object.keys(way).length === 0) ? "anybody" : "signed in";
  return (
    <details>
      <summary>
        <code>
          {method.toUpperCase()} {path}
        </code>{" "}
        {operation.summary}
      </summary>
      <p class="hint">For {who}.</p>
      <table>
        <tbody>
          {operation.parameters?.map((one) => (
            <tr key={one.name}>
              <th scope="row">
                <code>{one.name}</code> in {one.in}
                {one.required === true ? "" : ", optional"}
              </th>
              <td>
                <Type schema={one.schema} /> {one.description}
              </td>
            </tr>
          ))}
          {operation.requestBody !== undefined && (
            <tr>
              <th scope="row">body</th>
              <td>
                <Content of={operation.requestBody} />
              </td>
            </tr>
          )}
          {Object.entries(operation.responses).map(([status, answer]) => (
            <tr key={status}>
              <th scope="row">{status}</th>
              <td>
                {answer.description} <Content of={answer} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </details>
  );
}

function Content({ of }: { of: Media }) {
  return (
    <>
      {Object.entries(of.content ?? {}).map(([kind, { schema }]) => (
        <span key={kind}>{schema === undefined ? <code>{kind} </code> : <Type schema={schema} />}</span>
      ))}
    </>
  );
}

function Fields({ schema }: { schema: Schema }) {
  const parts = schema.allOf ?? [schema];
  if (parts.every((part) => part.properties === undefined)) return <Type schema={schema} />;
  return (
    <table>
      <tbody>
        {parts.map((part) =>
          part.properties === undefined ? (
            <tr key={part.$ref}>
              <th scope="row">the fields of</th>
              <td>
                <Type schema={part} />
              </td>
            </tr>
          ) : (
            Object.entries(part.properties).map(([name, field]) => (
              <tr key={name}>
                <th scope="row">
                  <code>{name}</code>
                  {part.required?.includes(name) === true ? "" : ", optional"}
                </th>
                <td>
                  <Type schema={field} /> {field.description}
                </td>
              </tr>
            ))
          ),
        )}
      </tbody>
    </table>
  );
}

/** A type in words. */
function Type({ schema }: { schema: Schema }) {
  if (schema.$ref !== undefined) {
    const name = schema.$ref.replace(/^.*\//, "");
    return (
      <a href={`#${name}`} onClick={() => document.getElementById(name)?.setAttribute("open", "")}>
        {name}
      </a>
    );
  }
  const parts = schema.oneOf ?? schema.allOf;
  if (parts !== undefined) {
    return (
      <>
        {parts.map((part, n) => (
          <span key={n}>
            {n > 0 && " or "}
            <Type schema={part} />
          </span>
        ))}
      </>
    );
  }
  if (schema.items !== undefined && schema.items !== false) {
    return (
      <>
        list of <Type schema={schema.items} />
      </>
    );
  }
  if (schema.enum !== undefined) return <code>{schema.enum.join(" | ")}</code>;
  const type = [schema.type ?? "anything"].flat().join(" or ");
  const range = schema.maximum === undefined ? "" : ` of ${schema.minimum ?? 0} to ${schema.maximum}`;
  return <code>{[`${type}${range}`, schema.format, schema.pattern].filter((part) => part !== undefined).join(" ")}</code>;
}
