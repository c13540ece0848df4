/* vm.h - the machine's public header. */
#ifndef HDW_VM_H
#define HDW_VM_H
#include "arena.h"
#include "datetime.h"
#include "decimal.h"
#include "module.h"
#include "native.h"
#include "run.h"
#include "status.h"
#include "value.h"
#endif
