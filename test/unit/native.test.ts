// ts/native.ts types the addon by hand: what it names must be what the addon has, no more and no less.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { addon } from '../../ts/native';

const source = ts.createSourceFile(
  'native.ts',
  readFileSync(join(__dirname, '../../ts/native.ts'), 'utf8'),
  ts.ScriptTarget.ES2022,
);

const interfaces = new Map(
  source.statements.filter(ts.isInterfaceDeclaration).map((found) => [found.name.text, found]),
);

/** Methods of an interface and of those it extends. */
function methods(name: string): string[] {
  const found = interfaces.get(name);
  if (!found) throw new Error(`ts/native.ts has no interface ${name}`);
  const bases = (found.heritageClauses ?? []).flatMap(({ types }) =>
    types.map((type) => type.getText(source)),
  );
  return [
    ...bases.flatMap(methods),
    ...found.members.filter(ts.isMethodSignature).map((member) => member.name.getText(source)),
  ].sort();
}

/** Methods that the prototype of a native object has. */
const methodsOf = (handle: object): string[] =>
  Object.getOwnPropertyNames(Object.getPrototypeOf(handle))
    .filter((name) => name !== 'constructor')
    .sort();

test('the functions', () => {
  // The loader adds the addon's path.
  const functions = Object.entries(addon).filter(([, value]) => typeof value === 'function');
  expect(functions.map(([name]) => name).sort()).toEqual(methods('Addon'));
});

test('the methods of every kind of handle', async () => {
  const plan = { strategy: 'auto', bucketEdges: new Int32Array(0), streams: 1 };
  const device = addon.openDevice('cpu', 0, 'auto', false, true, false, 'auto', plan);
  const stream = addon.createStream(device);
  const event = addon.createEvent(device);
  const tensor = addon.createTensor(stream, 'f32', 1, new Float32Array(1));
  const weight = addon.packLinear(stream, tensor, 1, 1, null, 'f32');
  const ticket = addon.createTicket();
  const file = await addon.openSafetensors(
    join(__dirname, '../goldens/models/bert-one-layer/checkpoint/model.safetensors'),
  );
  const handles = {
    NativeDevice: device,
    NativeStream: stream,
    NativeEvent: event,
    NativeTensor: tensor,
    NativeHandle: weight,
    NativeTicket: ticket,
    NativeSafetensors: file,
  };
  for (const [name, handle] of Object.entries(handles)) {
    expect({ name, methods: methodsOf(handle) }).toEqual({ name, methods: methods(name) });
    handle.dispose();
  }
});
