// Before ts/native.ts is loaded: this suite runs on the addon of the emulator.
process.env.PADLESS_ADDON = 'padless_emulator';
