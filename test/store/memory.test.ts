import t from 'tap';
import { createMemoryStore } from '../../controller/store/memory.js';
import { storeContract } from './contract.js';

storeContract(t, () => Promise.resolve({ store: createMemoryStore(), reopen: undefined }));
