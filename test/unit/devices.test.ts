// Listing devices and choosing one, with GPUs that this machine does not have.
import { device, devices } from '../../ts/device';
import { type NativeDevice, addon } from '../../ts/native';
import { expectError } from '../support/errors';

const opened: string[] = [];
const failures = new Map<string, string>();

const gpu = (name: string, reason = '') => ({
  ...{ name, kind: 'cuda', reason },
  ...(reason === '' ? { description: 'a GPU', isa: 'sm_90' } : { description: '', isa: '' }),
});

beforeEach(() => {
  opened.length = 0;
  failures.clear();
  jest
    .spyOn(addon, 'listDevices')
    .mockReturnValue([
      { name: 'cpu', kind: 'cpu', reason: '', description: '', isa: '' },
      gpu('cuda:0', 'too old'),
      gpu('cuda:1'),
      gpu('cuda:2'),
    ]);
  jest.spyOn(addon, 'openDevice').mockImplementation((name) => {
    opened.push(name);
    const code = failures.get(name);
    if (code !== undefined) throw Object.assign(new Error(`${name} does not open`), { code });
    const info = () => ({ name, description: 'opened', isa: 'any' });
    return { info, isLost: () => true } as NativeDevice; // lost: it is opened anew each time
  });
});
afterEach(() => jest.restoreAllMocks());

test('a list of devices opens no GPU', () => {
  expect(devices()).toEqual([
    { name: 'cpu', kind: 'cpu', available: true, description: 'opened', isa: 'any' },
    { name: 'cuda:0', kind: 'cuda', available: false, reason: 'too old' },
    { name: 'cuda:1', kind: 'cuda', available: true, description: 'a GPU', isa: 'sm_90' },
    { name: 'cuda:2', kind: 'cuda', available: true, description: 'a GPU', isa: 'sm_90' },
  ]);
  expect(opened).toEqual(['cpu']);
});

test.each([
  [{}, 'cuda:1'],
  [{ 'cuda:1': 'E_OUT_OF_MEMORY' }, 'cuda:2'],
  [{ 'cuda:1': 'E_DEVICE', 'cuda:2': 'E_OUT_OF_MEMORY' }, 'cpu'],
])('auto passes over GPUs that do not open: %j', (refused, expected) => {
  Object.entries(refused).forEach(([name, code]) => failures.set(name, code));
  expect(device({ name: 'auto', determinism: 'batch' }).name).toBe(expected);
  expect(device('auto').name).toBe(expected);
});

test('other errors are not passed over, nor is a GPU that was named', async () => {
  failures.set('cuda:1', 'E_INTERNAL');
  await expectError(() => device('auto'), { code: 'E_INTERNAL' });
  failures.set('cuda:1', 'E_OUT_OF_MEMORY');
  await expectError(() => device('cuda:1'), { code: 'E_OUT_OF_MEMORY' });
});
